//! Paths below `share/` as peers name them: any bytes but NUL, parted by `/`.
