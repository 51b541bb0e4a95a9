-- What browsers ask for: the requests of a file, heads one behind the other, again and again in that order.
local heads, at = {}, 0

function init(arguments)
  for head in io.open(arguments[1], "rb"):read("*a"):gmatch("(.-\r\n\r\n)") do
    heads[#heads + 1] = head
  end
end

function request()
  at = at % #heads + 1
  return heads[at]
end
