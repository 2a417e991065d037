-- Shows a job as it is after a fact, unless a newer fact is shown already. One fact is one entry of its history,
-- however often it comes.
-- KEYS: 1 job, 2 history, 3.. the indexes it is in now.
-- ARGV: 1 sequence, 2 document, 3 score, 4 job id, 5 prefix of index keys, 6 index names (one per line, as KEYS 3..),
--       7 history entries to keep, 8.. pairs of sequence and history entry.
-- Answers 1 when shown, 0 when something as new is shown already.
for i = 8, #ARGV, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[i], ARGV[i])
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
end
if #ARGV > 7 then
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[7]) - 1)
end

local known = redis.call('HMGET', KEYS[1], 'sequence', 'indexes', 'score')
if known[1] and tonumber(known[1]) >= tonumber(ARGV[1]) then
  return 0
end
if known[2] ~= ARGV[6] or known[3] ~= ARGV[3] then
  local before, key = {}, 3
  for name in string.gmatch(known[2] or '', '[^\n]+') do
    before[name] = true
  end
  for name in string.gmatch(ARGV[6], '[^\n]+') do
    if not before[name] or known[3] ~= ARGV[3] then
      redis.call('ZADD', KEYS[key], ARGV[3], ARGV[4])
    end
    before[name] = nil
    key = key + 1
  end
  for name in pairs(before) do
    redis.call('ZREM', ARGV[5] .. name, ARGV[4])
  end
end
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'document', ARGV[2], 'indexes', ARGV[6], 'score', ARGV[3])
return 1
