"""Services: processes that outlive their starter, are found by other processes, supervised, and stopped completely."""

from ecclip.core.services.child import end_with_parent
from ecclip.core.services.launcher import PLACEHOLDER
from ecclip.core.services.ports import choose_port
from ecclip.core.services.service import Service, Services, log_end
from ecclip.core.services.shared_memory import close_shared_memory
from ecclip.core.services.signals import signals_held, signals_raise
from ecclip.core.services.watch import supervise

__all__ = [
    "PLACEHOLDER",
    "Service",
    "Services",
    "choose_port",
    "close_shared_memory",
    "end_with_parent",
    "log_end",
    "signals_held",
    "signals_raise",
    "supervise",
    "users",
]
