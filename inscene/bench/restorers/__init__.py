"""Restorers that run in the worker. Those without weights are the floor that a learned method must
beat; Real-ESRGAN is a learned method that needs no GPU.

Each is called with an LQ image, (h, w, 3) 8-bit sRGB, and the wanted size, (width, height) in px.
"""
