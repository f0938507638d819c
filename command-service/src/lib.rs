//! The command-service.
