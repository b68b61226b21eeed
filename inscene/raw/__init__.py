"""RAW captures: developed into sRGB by LibRaw, in a process that may die."""
