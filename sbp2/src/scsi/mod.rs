//! SCSI as far as a disk across SBP-2 needs it.
