"""What CloudFormation makes where the emulator's own way is not AWS's.

`mended` takes the emulator's resource types and gives those that are to be put in their place:
functions and mappings over Lambda's API, with its checks; buckets that are not deleted with
objects in them; properties that were dropped; names that somebody else has. Pure but for the API
that is handed in; nothing here knows which emulator it is.
"""

from bridge.local.aws.stacks._api import Answer, Api, Question
from bridge.local.aws.stacks._mended import REPLACING, mended

__all__ = ["REPLACING", "Answer", "Api", "Question", "mended"]
