-- Renews leases, or grants those that were taken while this server could not be asked.
-- KEYS: leases. ARGV: life in ms, leases.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1] * 1000, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
return 1
