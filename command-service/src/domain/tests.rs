//! The rules of accounts, each as given / when / then; and any sequence of commands, against a simple model.

mod closing;
mod deposits;
mod freezing;
mod model;
mod opening;
mod specification;
mod withdrawals;
