"""HTTP as the proxies of these tests need it."""


async def message(reader):
    """One HTTP message with its body; None at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = await reader.readline()
        if not line:
            return None
        head += line
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    if b"content-length" in fields:
        return head + await reader.readexactly(int(fields[b"content-length"]))
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = b""
        while True:
            size = await reader.readline()
            body += size + await reader.readexactly(int(size, 16) + 2)
            if int(size, 16) == 0:
                return head + body
    return head
