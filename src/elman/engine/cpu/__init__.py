"""The CPU backend: a plan becomes machine code through LLVM, without a compiler on the user's machine."""
