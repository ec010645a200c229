-- For wrk: sends each line of a file as the body of a request. When all are answered, it prints how
-- many were taken, how many refused, and the microseconds from the first to the last, and ends wrk,
-- which would go on for its whole duration.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, microseconds; } moment; int gettimeofday(moment *, void *);")

local file, began, is_checked
local sent, taken, refused = 0, 0, 0

local function now()
  local moment = ffi.new("moment[1]")
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment[0].seconds) * 1e6 + tonumber(moment[0].microseconds)
end

function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  file = assert(io.open(arguments[1], "rb"))
end

function request()
  if not is_checked then
    -- wrk looks at one request before it sends any.
    is_checked = true
    return wrk.format("POST")
  end
  began = began or now()
  local body = file:read("*l")
  if not body then
    -- For connections that are done before the others; what is answered tells it apart.
    return wrk.format("GET", "/nothing")
  end
  sent = sent + 1
  return wrk.format("POST", nil, nil, body)
end

function response(status)
  if status == 404 then
    return
  elseif status == 200 then
    taken = taken + 1
  else
    refused = refused + 1
  end
  if taken + refused == sent and not file:read(0) then
    print(string.format("RESULT %d %d %d", taken, refused, now() - began))
    os.exit(0)
  end
end
