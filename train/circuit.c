/* The overdrive circuit in time: linear input stage, op-amp diode clipper, linear output stage, all by the trapezoidal
 * rule. */
#include <math.h>
#include <stdlib.h>

#define MAX_STATES 8

/* x+ = a x + b (u + u+), y = c x+ + d u+ */
typedef struct {
  int states;
  double a[MAX_STATES * MAX_STATES], b[MAX_STATES], c[MAX_STATES], d;
} Linear;

typedef struct {
  double step;                       /* s */
  double r_series, c_series;         /* from the inverting input to ground */
  double r_feedback, c_feedback;     /* across the op-amp */
  double saturation, emission_volts; /* diode: Is and n kT/q */
} Clipper;

static double linear_step(const Linear* s, double* x, double* u_before, double u) {
  double next[MAX_STATES], y = s->d * u, sum = *u_before + u;
  *u_before = u;
  for (int i = 0; i < s->states; i++) {
    next[i] = s->b[i] * sum;
    for (int j = 0; j < s->states; j++) next[i] += s->a[i * s->states + j] * x[j];
  }
  for (int i = 0; i < s->states; i++) {
    x[i] = next[i];
    y += s->c[i] * next[i];
  }
  return y;
}

/* One excerpt at the oversampled rate, in place: volts in, volts out. Returns how many steps did not converge. */
long circuit_run(const Linear* input, const Clipper* k, const Linear* output, double* signal, long frames) {
  double xi[MAX_STATES] = {0}, xo[MAX_STATES] = {0}, ui = 0, uo = 0;
  const double g = k->step / (2 * k->r_series * k->c_series), h = k->step / (2 * k->c_feedback);
  const double nv = k->emission_volts, is2 = 2 * k->saturation, gf = 1 / k->r_feedback;
  double v_before = 0, v_series = 0, w = 0, w_before = 0,
         charge = 0; /* charge: current into c_feedback at the last step */
  long failures = 0;
  for (long t = 0; t < frames; t++) {
    double v = linear_step(input, xi, &ui, signal[t]);
    v_series = (v_series * (1 - g) + g * (v_before + v)) / (1 + g);
    v_before = v;
    double i = (v - v_series) / k->r_series;
    double target = w + h * (charge + i);
    double sh = 0, ch = 1, d = 0, guess = 2 * w - w_before;
    w_before = w;
    w = guess;
    int round = 0;
    for (; round < 60; round++) {
      double e = exp(w / nv), r = 1 / e;
      sh = 0.5 * (e - r);
      ch = 0.5 * (e + r);
      d = (w * (1 + h * gf) + h * is2 * sh - target) / (1 + h * gf + h * is2 * ch / nv);
      w -= d;
      if (fabs(d) < 1e-7) break;
      if (fabs(d) >
          nv) { /* beyond this bound the diode current alone would exceed the target; Newton converges from it */
        double bound = nv * asinh(fabs(target) / (h * is2));
        w = w > bound ? bound : w < -bound ? -bound : w;
      }
    }
    failures += round == 60;
    charge = i - w * gf - is2 * (sh - ch * d / nv);
    signal[t] = linear_step(output, xo, &uo, v + w);
  }
  return failures;
}

/* out[t factor + p] = sum over j of table[j factor + p] in[t - half + j], j = 0 .. 2 half; in is zero outside its
 * frames */
void upsample(const double* in, long frames, const double* table, int half, int factor, double* out, long out_frames) {
  for (long t = 0; t < out_frames; t++) {
    double* o = out + t * factor;
    for (int p = 0; p < factor; p++) o[p] = 0;
    for (int j = 0; j <= 2 * half; j++) {
      long q = t - half + j;
      if (q < 0 || q >= frames) continue;
      for (int p = 0; p < factor; p++) o[p] += table[j * factor + p] * in[q];
    }
  }
}

/* out[t] = sum over k of taps[k] in[t factor + k - half factor], k = 0 .. 2 half factor - 1; in is zero outside its
 * frames */
int downsample(const double* in, long in_frames, const double* taps, int half, int factor, double* out, long frames) {
  double* sum = malloc(sizeof(double) * factor);
  if (!sum) return 1;
  for (long t = 0; t < frames; t++) {
    for (int p = 0; p < factor; p++) sum[p] = 0;
    for (int j = 0; j < 2 * half; j++) {
      long start = (t - half + j) * factor;
      if (start < 0 || start + factor > in_frames) continue;
      for (int p = 0; p < factor; p++) sum[p] += taps[j * factor + p] * in[start + p];
    }
    out[t] = 0;
    for (int p = 0; p < factor; p++) out[t] += sum[p];
  }
  free(sum);
  return 0;
}
