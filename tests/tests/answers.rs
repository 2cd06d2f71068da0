//! I7: each request of an application has one final answer, whatever fails at whatever moment.
