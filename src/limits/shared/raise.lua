-- Raises an arrival time to what a replica knows of it; never back. A server that was started anew, and empty, begins so
-- where the fullest bucket of those that come back to it is.
-- KEYS: arrival time. ARGV: microseconds by which it lies ahead, by the replica's clock.
local time = redis.call('TIME')
local arrival = time[1] * 1000000 + time[2] + ARGV[1]
if arrival > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil(ARGV[1] / 1000) + 1)
end
return 1
