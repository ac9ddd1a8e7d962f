-- wrk: each request asks for the menu of one machine, drawn at random among those loaded.
-- Arguments: path, number of machines, number of the first one. They are numbered as in scripts/bench.
local path, machines, first = "/boot/menu.ipxe", 1, 0
local threads = {}

function setup(thread)
  thread:set("seed", 7919 * (#threads + 1))
  table.insert(threads, thread)
end

function init(args)
  path = args[1] or path
  machines = tonumber(args[2]) or 1
  first = tonumber(args[3]) or 0
  math.randomseed(seed)
  bad = 0
end

function request()
  local n = first + math.random(0, machines - 1)
  local mac = string.format("52:54:01:%02x:%02x:%02x", math.floor(n / 65536), math.floor(n / 256) % 256, n % 256)
  return wrk.format("GET", path .. "?mac=" .. mac)
end

function response(status)
  if status ~= 200 then bad = bad + 1 end
end

-- One line for scripts/bench: requests/s, p50 and p99 in milliseconds, answers that were not 200, socket errors.
function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("bad") end
  local e = summary.errors
  io.write(string.format("RESULT %.0f %.3f %.3f %d %d\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, wrong, e.connect + e.read + e.write + e.timeout))
end
