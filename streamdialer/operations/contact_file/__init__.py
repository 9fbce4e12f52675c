"""Files of contacts as people have them: a sheet of rows, what its columns mean, and the contacts of its rows."""
