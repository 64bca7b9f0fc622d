"""What this machine can run, what it cannot, and what to do about it: ``hot-doctor``.

Nothing is imported that could crash this process: engines are tried in child processes.
"""

from hot_sdk.host import Finding, Status
from hot_sdk.host.machine import Machine, this_machine

__all__ = ["Finding", "Machine", "Status", "this_machine"]
