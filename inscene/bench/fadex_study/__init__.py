"""The paper's Figure 3: whether FaDeX's codes follow the degradation or the picture.

``settings`` what is looked at · ``faces`` which images, and where their faces are · ``pairs`` the
same faces under every preset · ``codes`` what FaDeX says about them · ``measure`` all of it ·
``report``, ``page`` and ``png`` what is written, of drawings that ``figure`` lays out.
"""
