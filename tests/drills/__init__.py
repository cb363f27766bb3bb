"""Every alarm made to fire, and all of them kept quiet: `make drill`.

The service runs as it does in Lambda, over fakes that fail as vendors do, in virtual time; the
alarms are those of the template, judged as CloudWatch would. The service binds clocks when it
is imported, so virtual time is put in their place here, before that.
"""

from drills import virtual_time

virtual_time.install()
