"""Coming from elsewhere: foreign documents become ours, with an account of every field. Pure.

`migrate` is the door. `source` keeps the account, `draft` is the Canary that is being written; a tool that people come
from is the modules named after it: the table of what its fields mean here (`*_fields`), and what takes more than a
table.
"""
