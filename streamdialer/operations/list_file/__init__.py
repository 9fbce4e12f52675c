"""Files of contacts and of numbers as people have them: a sheet of rows, what its columns mean, what its rows say."""
