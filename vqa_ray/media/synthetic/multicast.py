"""Whether multicast works on this machine's loopback: some containers have none."""

import socket

GROUP = "239.255.255.250"
WAIT_S = 0.5


def works() -> bool:
    """Sends one datagram to a group on loopback, and says whether it came."""
    local = socket.inet_aton("127.0.0.1")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind(("", 0))
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + local)
            receiver.settimeout(WAIT_S)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, local)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.sendto(b"?", (GROUP, receiver.getsockname()[1]))
            return receiver.recv(1) == b"?"
        except OSError:
            return False
