/* Linear layers with prepacked weights, in three precisions. */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "arithmetic.h"

enum precision { FLOAT32, BFLOAT16, INT8 };
enum activation { IDENTITY, RELU, GELU, SILU };

/* The weights are in panels: blocks of columns that fill the vector registers of one tile. Within a panel, the words of
   all its columns for one index of the input are adjacent. A 32-bit word holds one float, two bfloat16 values or, for
   int8, as many integers as one instruction multiplies. */
typedef struct {
    long n_in, n_out; /* n_in is a multiple of LANES unless the precision is float32 */
    enum precision precision;
    void *panels;
    float *scales; /* int8 only: of each output */
    float *bias;   /* NULL, or of each output, padded to whole vectors */
} linear;

/* Rows of a matrix: the address of the first row, and the number of floats from one row to the next. */
typedef struct { float *first; long stride; } matrix;

/* Return the number of floats in the panels of a (n_in, n_out) matrix in float32. */
static inline long panel_size(long n_in, long n_out) { return n_in * round_up(n_out); }

/* Write a (n_in, n_out) matrix to panels in float32. Its element (k, n) is from[k * in_stride + n * out_stride]. */
void pack_float32(float *panels, const float *from, long n_in, long n_out, long in_stride, long out_stride);

/* Prepack a weight (n_out, n_in) and a bias, which may be NULL. Columns beyond n_out get the bias `padding`.
   Return 0, or -1 if there is no memory. */
int prepack(linear *layer, const float *weight, const float *bias, long n_out, long n_in, enum precision precision,
            float padding);

void free_linear(linear *layer);

/* Return the bytes of scratch memory that `apply` needs. */
long scratch_size(long n_rows, long n_in);

/* y = activation(x weight^T + bias) + residual for n_rows rows. The residual may be y itself, or NULL; its stride is
   that of y. Each element of y is summed in the same order, however many rows there are. */
void apply(const linear *layer, matrix x, long n_rows, matrix y, enum activation activation, const float *residual,
           void *scratch);

#endif
