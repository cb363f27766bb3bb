"""What the service promises for bad days, shown with faults: `make faults`.

Each scenario breaks real parts (the vendors' wire formats over HTTP, a Valkey cluster, the
local AWS's DynamoDB), drives environments like Lambda's over them, and returns figures with
the bar that each has to meet.

    matrix     every dependency × every fault; with --pairs every two at once
    limits     one user's requests at once, from many processes
    breakers   a dead dependency before a fleet
    caches     the same questions again and again, over environments that come and go
    herd       one cold question, asked by everybody at once
    hits       what a cache hit costs
    deletes    a deleted document, asked for at once and everywhere
    frozen     an environment that wakes up without its connections
    crashes    processes killed while they write
"""
