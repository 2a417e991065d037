-- Walks the smallest group of indexes, newest first, and keeps the jobs that every other group has, too.
-- KEYS: the index keys, group after group.
-- ARGV: 1 prefix of job keys, 2 jobs wanted, 3 jobs to skip, 4 jobs that may be walked over,
--       5 score and 6 id of the job to begin after (both empty: at the newest), 7.. how many keys each group has.
-- Answers: whether the end was reached, how many are still to be skipped, score and id of the last job walked over,
--          then of each job its document and when it was last confirmed (empty: not known).
local wanted, skip, budget = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local after_score, after_id = tonumber(ARGV[5]), ARGV[6]
local CHUNK = 128

local groups, smallest, at = {}, nil, 1
for g = 7, #ARGV do
  local group = { size = 0 }
  for _ = 1, tonumber(ARGV[g]) do
    group[#group + 1] = KEYS[at]
    group.size = group.size + redis.call('ZCARD', KEYS[at])
    at = at + 1
  end
  groups[#groups + 1] = group
  if not smallest or group.size < groups[smallest].size then
    smallest = #groups
  end
end

local base = groups[smallest]
local heads = {}
for i, key in ipairs(base) do
  local start = 0
  if after_score then
    local rank = redis.call('ZREVRANK', key, after_id)
    start = rank and rank + 1 or redis.call('ZCOUNT', key, '(' .. ARGV[5], '+inf')
  end
  heads[i] = { key = key, from = start, chunk = {}, pos = 1 }
end
if #groups == 1 and #base == 1 and skip > 0 then
  heads[1].from = heads[1].from + skip
  skip = 0
end

local function peek(head)
  if head.pos > #head.chunk then
    if head.ended then
      return nil
    end
    head.chunk = redis.call('ZREVRANGE', head.key, head.from, head.from + CHUNK - 1, 'WITHSCORES')
    head.from = head.from + CHUNK
    head.pos = 1
    head.ended = #head.chunk < 2 * CHUNK
    if #head.chunk == 0 then
      return nil
    end
  end
  return head.chunk[head.pos], tonumber(head.chunk[head.pos + 1])
end

local function newest()
  local best, best_id, best_score
  for _, head in ipairs(heads) do
    local id, score = peek(head)
    if id and (not best or score > best_score or (score == best_score and id > best_id)) then
      best, best_id, best_score = head, id, score
    end
  end
  return best, best_id, best_score
end

local function fits(id)
  for g, group in ipairs(groups) do
    if g ~= smallest then
      local found = false
      for _, key in ipairs(group) do
        if redis.call('ZSCORE', key, id) then
          found = true
          break
        end
      end
      if not found then
        return false
      end
    end
  end
  return true
end

local answer = { 0, 0, ARGV[5], ARGV[6] }
local walked = 0
while true do
  local head, id, score = newest()
  if not head then
    answer[1] = 1
    break
  end
  if #answer - 4 >= 2 * wanted or walked >= budget then
    break
  end
  walked = walked + 1
  answer[3], answer[4] = head.chunk[head.pos + 1], id
  head.pos = head.pos + 2
  local seen = after_score and score == after_score and id >= after_id
  if not seen and fits(id) then
    if skip > 0 then
      skip = skip - 1
    else
      local job = redis.call('HMGET', ARGV[1] .. id, 'document', 'confirmed')
      if job[1] then
        answer[#answer + 1] = job[1]
        answer[#answer + 1] = job[2] or ''
      end
    end
  end
end
answer[2] = skip
return answer
