-- For wrk: each connection is a browser that sends an event now and then, as a process of Poisson
-- does: independent of the others, and of when it sent last. Arguments: the beginning of the names of
-- the files of bodies, one for each thread; the milliseconds between two events of a browser, on
-- average; and for how many milliseconds they send. Afterwards all are silent, so that what was sent
-- is answered before wrk ends.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, microseconds; } moment; int gettimeofday(moment *, void *);")

local SILENT = 1e9
local threads = {}
local moment = ffi.new("moment[1]")
local file, interval, length, ends

sent = 0

local function now()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment[0].seconds) * 1e3 + tonumber(moment[0].microseconds) / 1e3
end

function setup(thread)
  table.insert(threads, thread)
  thread:set("number", #threads)
end

function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  file = assert(io.open(arguments[1] .. number, "rb"))
  interval, length = tonumber(arguments[2]), tonumber(arguments[3])
  math.randomseed(number)
  -- wrk looks at one request of the first thread before it sends any.
  is_checked = number > 1
end

function delay()
  ends = ends or now() + length
  local wait = -interval * math.log(1 - math.random())
  return now() + wait < ends and wait or SILENT
end

function request()
  if not is_checked then
    is_checked = true
    return wrk.format("POST")
  end
  sent = sent + 1
  return wrk.format("POST", nil, nil, assert(file:read("*l"), "no more events"))
end

function done(summary, latency)
  local all = 0
  for _, thread in ipairs(threads) do
    all = all + thread:get("sent")
  end
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format(
    "RESULT %d %d %d %d %d %d %d", all, summary.requests, errors.status, broken,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)
  ))
end
