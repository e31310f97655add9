-- What each replica asks each `store.poll_every`. On a store that Orqen has made:
--   pgbench --no-vacuum --protocol prepared --client 16 --time 5 --file benches/cluster/poll.sql "$URL"
SELECT value FROM change_counter;
