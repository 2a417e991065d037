-- The steps of a rebuild that must not be torn apart.
-- KEYS: 1 who rebuilds, 2 pointers. ARGV: 1 step, 2 generation, 3 ms the place is held.
-- Answers 1 when done, 0 when the place is somebody else's.
local step, generation, hold = ARGV[1], ARGV[2], ARGV[3]
if step == 'begin' then
  if redis.call('GET', KEYS[1]) == generation then
    return 1
  end
  if not redis.call('SET', KEYS[1], generation, 'NX', 'PX', hold) then
    return 0
  end
  redis.call('HSET', KEYS[2], 'next', generation)
  return 1
end
if step == 'switch' and redis.call('HGET', KEYS[2], 'live') == generation then
  return 1
end
if redis.call('GET', KEYS[1]) ~= generation or redis.call('HGET', KEYS[2], 'next') ~= generation then
  return 0
end
if step == 'hold' then
  redis.call('PEXPIRE', KEYS[1], hold)
elseif step == 'switch' then
  redis.call('HSET', KEYS[2], 'live', generation)
  redis.call('HDEL', KEYS[2], 'next')
  redis.call('DEL', KEYS[1])
elseif step == 'abandon' then
  redis.call('HDEL', KEYS[2], 'next')
  redis.call('DEL', KEYS[1])
end
return 1
