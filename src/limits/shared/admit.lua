-- Admits a request to up to two subjects: takes from all their limits, or from none.
-- KEYS, for each subject: arrival time, leases, saved tokens of the day, of the week.
-- ARGV: lease (empty: only tell, take nothing), its life in ms; for each subject: interval and tolerance in us (0: no such limit), most leases
--   (-1: no such limit), us that the asking replica counted ahead by itself, whether day and week are asked for.
-- Answers: whether all fit; for each subject, before this request: us ahead, leases, tokens of day and week
--   (-1: no such count). Times are this server's, so that replicas need not agree on theirs.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease, life = ARGV[1], tonumber(ARGV[2])
local answer, fits = { 0 }, lease ~= ''
local arrivals = {}

for i = 0, #KEYS / 4 - 1 do
  local key, arg = i * 4, 2 + i * 6
  local interval, tolerance = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local most, apart = tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4])

  local ahead = 0
  if interval > 0 then
    local arrival = tonumber(redis.call('GET', KEYS[key + 1]) or now)
    ahead = math.max(arrival - now, apart, 0)
    -- Much further ahead than a full bucket is a clock that stepped back: cut, though the request may be refused.
    if ahead > tolerance + 5000000 then
      ahead = tolerance
      arrivals[i] = now + ahead
    end
    fits = fits and ahead + interval <= tolerance
  end

  local leases = 0
  if most >= 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[key + 2], '-inf', now)
    leases = redis.call('ZCARD', KEYS[key + 2])
    fits = fits and leases < most
  end

  table.insert(answer, ahead)
  table.insert(answer, leases)
  for period = 1, 2 do
    local saved = -1
    if ARGV[arg + 4 + period] == '1' then saved = tonumber(redis.call('GET', KEYS[key + 2 + period]) or -1) end
    table.insert(answer, saved)
  end
end

for i = 0, #KEYS / 4 - 1 do
  local key, arg = i * 4, 2 + i * 6
  local interval, most = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 3])
  if fits and interval > 0 then arrivals[i] = now + answer[2 + i * 4] + interval end
  if arrivals[i] then
    -- Forgotten once it lies in the past, when it says no more than no key at all.
    redis.call('SET', KEYS[key + 1], string.format('%.0f', arrivals[i]), 'PX', math.ceil((arrivals[i] - now) / 1000) + 1)
  end
  if fits and most >= 0 then
    redis.call('ZADD', KEYS[key + 2], now + life * 1000, lease)
    redis.call('PEXPIRE', KEYS[key + 2], life * 2)
  end
end

answer[1] = fits and 1 or 0
return answer
