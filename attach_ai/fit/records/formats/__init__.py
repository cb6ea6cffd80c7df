"""Files of answers, each read into one `Table`."""

from attach_ai.fit.records.formats.read import read_table as read_table
from attach_ai.fit.records.formats.table import Problem as Problem
from attach_ai.fit.records.formats.table import Table as Table
