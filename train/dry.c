/* Guitar-like dry signals from a seed: plucked lines, chords, palm-muted chugs, sweeps, noise bursts, two-tone steps.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define RATE 48000.0
#define STRINGS 6
#define STRING_MAX 1024
#define TAU 6.28318530717958647692

enum { LINE, CHORD, CHUG, SWEEP, BURST, STEPS };

typedef struct {
  int period, position;
  double damping, feedback, loop[STRING_MAX];
} String;

static double uniform(uint32_t* s) {
  *s ^= *s << 13;
  *s ^= *s >> 17;
  *s ^= *s << 5;
  return (*s >> 8) / 16777216.0;
}

static double between(uint32_t* s, double low, double high) { return low + (high - low) * uniform(s); }
static double between_log(uint32_t* s, double low, double high) { return low * pow(high / low, uniform(s)); }
static int frames_log(uint32_t* s, double low, double high) { return (int)(RATE * between_log(s, low, high)); }

/* Karplus-Strong: filtered noise in a loop as long as the period, with the comb of the picking point */
static void pluck(String* q, uint32_t* s, double hertz, double strength, int muted) {
  q->period = (int)(RATE / hertz);
  q->period = q->period > STRING_MAX ? STRING_MAX : q->period < 20 ? 20 : q->period;
  q->damping = muted ? between(s, 0.35, 0.6) : between(s, 0.08, 0.5);
  q->feedback = muted ? between(s, 0.93, 0.975) : 1 - between_log(s, 0.0008, 0.012);
  q->position = 0;
  double colour = between(s, 0.15, 0.9), low = 0;
  int pick = (int)(between(s, 0.08, 0.35) * q->period);
  for (int i = 0; i < q->period; i++) {
    low += colour * (between(s, -1, 1) - low);
    q->loop[i] = strength * low;
  }
  for (int i = q->period - 1; i >= pick; i--) q->loop[i] -= 0.9 * q->loop[i - pick];
}

static double ring(String* q) {
  if (!q->period) return 0;
  int next = q->position + 1 == q->period ? 0 : q->position + 1;
  double now = q->loop[q->position];
  q->loop[q->position] = q->feedback * ((1 - q->damping) * now + q->damping * q->loop[next]);
  q->position = next;
  return now;
}

static int strum(String* strings, uint32_t* s, int kind) {
  static const double interval[STRINGS] = {1.0, 1.4983, 2.0, 2.5198, 2.9966, 4.0};
  int count = kind == LINE ? 1 : kind == CHUG ? 2 + (int)(uniform(s) * 2) : 2 + (int)(uniform(s) * 5);
  int first = kind == LINE ? (int)(uniform(s) * STRINGS) : 0;
  double base = between_log(s, 82, kind == LINE ? 880 : kind == CHUG ? 150 : 330), strength = between_log(s, 0.25, 1);
  for (int k = 0; k < count; k++) {
    double hertz = base * (kind == LINE ? 1 : interval[k]) * (1 + 0.003 * between(s, -0.5, 0.5));
    pluck(&strings[(first + k) % STRINGS], s, hertz, strength, kind == CHUG);
  }
  if (uniform(s) < 0.12)
    for (int k = 0; k < STRINGS; k++) strings[k].feedback *= 0.6;
  return kind == LINE ? frames_log(s, 0.07, 0.7) : kind == CHUG ? frames_log(s, 0.1, 0.35) : frames_log(s, 0.25, 1.6);
}

int dry_synthesize(uint32_t seed, float* out, long frames) {
  uint32_t s = seed * 2654435761u + 12345u;
  if (!s) s = 1;
  String* strings = calloc(STRINGS, sizeof(String));
  if (!strings) return 1;
  for (int i = 0; i < 8; i++) uniform(&s);
  double choice = uniform(&s);
  int kind = choice < 0.36   ? LINE
             : choice < 0.66 ? CHORD
             : choice < 0.80 ? CHUG
             : choice < 0.86 ? SWEEP
             : choice < 0.93 ? BURST
                             : STEPS;
  double level = between_log(&s, 0.12, 1.8), bright = between(&s, 0.25, 0.8);
  double sweep_from = between_log(&s, 30, 200), sweep_to = between_log(&s, 2000, 16000);
  double phase = 0, phase2 = 0, hertz = 110, hertz2 = 220, gate = 0, gate_to = 0, low1 = 0, low2 = 0;
  double swell = 1, swell_to = 1, dc = 0;
  int next = 0, swell_left = 0;
  for (long t = 0; t < frames; t++) {
    double y;
    if (--swell_left <= 0) {
      swell_left = frames_log(&s, 0.15, 1.2);
      swell_to = uniform(&s) < 0.5 ? 1.0 : between_log(&s, 0.08, 1.3);
    }
    swell += 0.0008 * (swell_to - swell);
    if (kind <= CHUG) {
      if (--next <= 0) next = strum(strings, &s, kind);
      y = 0;
      for (int k = 0; k < STRINGS; k++) y += ring(&strings[k]);
      low1 += bright * (y - low1);
      low2 += bright * (low1 - low2);
      y = 0.9 * low2;
    } else if (kind == SWEEP) {
      phase = fmod(phase + TAU / RATE * sweep_from * pow(sweep_to / sweep_from, (double)t / frames), TAU);
      y = 0.5 * sin(phase);
    } else if (kind == BURST) {
      if (--next <= 0) {
        next = frames_log(&s, 0.02, 0.5);
        gate_to = uniform(&s) < 0.4 ? 0.0 : between_log(&s, 0.05, 1.0);
        bright = between(&s, 0.05, 0.8);
      }
      gate += 0.01 * (gate_to - gate);
      low1 += bright * (between(&s, -1, 1) - low1);
      low2 += bright * (low1 - low2);
      y = gate * low2;
    } else {
      if (--next <= 0) {
        next = frames_log(&s, 0.05, 0.6);
        gate_to = between_log(&s, 0.03, 1.0);
        hertz = between_log(&s, 60, 3000);
        hertz2 = hertz * between(&s, 1.01, 2.2);
      }
      gate += 0.004 * (gate_to - gate);
      phase = fmod(phase + TAU / RATE * hertz, TAU);
      phase2 = fmod(phase2 + TAU / RATE * hertz2, TAU);
      y = gate * (0.4 * sin(phase) + 0.25 * sin(phase2));
    }
    dc += 0.0015 * (y - dc); /* pickups give no direct voltage */
    y = 1.2 * level * swell * (y - dc);
    out[t] = (float)(y > 1 ? 1 + 0.1 * (y - 1) : y < -1 ? -1 + 0.1 * (y + 1) : y);
  }
  free(strings);
  return 0;
}
