"""A small fake of the Hugging Face Hub, and of a release page, on 127.0.0.1.

The real client talks to it, so that downloads, retries and checks are tested as they run.
"""
