"""What every reader of files needs: regular files, archives of arrays, and room in memory."""
