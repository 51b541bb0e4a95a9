"""Other visitors: four of them ask for small answers, and how long they wait is what an attack costs them.

Usage: python -m tests.load.visitors PORT SECONDS, which prints the 99th percentile in milliseconds
"""

import asyncio
import sys
import time

import uvloop


async def p99(port: int, seconds: float) -> float:
    """Milliseconds, connecting included."""
    until = time.monotonic() + seconds
    waited = sorted(each for one in await asyncio.gather(*(_waits(port, until) for _ in range(4))) for each in one)
    return waited[int(len(waited) * 0.99)]


async def _waits(port: int, until: float) -> list[float]:
    request = f"GET /public/quick HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    found: list[float] = []
    while time.monotonic() < until:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(60):
                for _ in range(20):
                    writer.write(request)
                    answer = await reader.readuntil(b"\r\n\r\n0")
                    if not answer.startswith(b"HTTP/1.1 200 "):
                        raise ValueError(answer)
                    found.append((time.monotonic() - began) * 1000)
                    await asyncio.sleep(0.01)
                    began = time.monotonic()
        except TimeoutError:
            found.append(60_000)
        finally:
            writer.close()
    return found


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(p99(int(sys.argv[1]), float(sys.argv[2]))))
