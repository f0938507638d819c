//! The projection-service.
