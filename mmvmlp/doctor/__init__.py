"""Report installed versions, test that each package works, and print a fix for any that does not.

`facts` gathers versions, and lets a child process try each package (`probes`); `rules` turn the
facts into findings; `report` words both. Nothing here imports more than the standard library, so
that ``mmvmlp doctor`` runs where torch or mmengine is missing or broken.
"""
