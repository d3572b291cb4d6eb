//! What becomes of files: written whole or not at all, and brought back.
