// Removed once this folder has its first source.
