-- Adds saved tokens to a count that is there; one that is not begins at the store's sum, which has them.
-- KEYS: count. ARGV: tokens. An overflow is passed over: the budget is spent either way.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.pcall('INCRBY', KEYS[1], ARGV[1]) end
return 1
