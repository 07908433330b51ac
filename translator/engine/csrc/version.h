/* A hash of the C sources and their options, written by scripts/write_reference.py. */
#define VERSION 0x3B6E4468
