-- What a change of a key costs the store as seen from outside: a row, then the number of the change, which every other
-- writer waits for until the commit, the log, and the word to who listens. On a store that Orqen has made:
--   pgbench --initialize --quiet "$URL"
--   pgbench --no-vacuum --protocol extended --client 8 --time 5 --file benches/cluster/change.sql "$URL"
-- and once more with PGOPTIONS='-c synchronous_commit=off', for what is left once the disk is not waited for.
\set id random(1, 100000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :id;
UPDATE change_counter SET value = value + 1 RETURNING value \gset
INSERT INTO change (seq, entity, entity_id, revision, at) VALUES (:value, 'key', gen_random_uuid(), 1, now());
SELECT pg_notify('orqen_bench', :value::text);
COMMIT;
