"""Images of one person in a described scene: FLUX.1 [dev] with InfiniteYou's InfuseNet.

Nothing is imported here: torch and diffusers are loaded by who generates.
"""
