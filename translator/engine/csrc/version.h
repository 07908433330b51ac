/* A hash of the C sources and their options, written by scripts/write_reference.py. */
#define VERSION 0x434340E4
