// What a network is: the chain of parts that every config (HuggingFace, s4d, coil) is converted to. ssm/MODEL_FILE.md
// describes the JSON. ssm/model/plan.h derives what execution needs.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace coil::ssm {

// Every `name` is the full prefix of the part's tensors, without the final dot: "backbone.layers.0.mixer".
// Every `state_name` is the prefix of its state's tensors in a state file: "state.0" for "state.0.ssm".

// A low-rank matrix that is added to another one: `up` (d_out, rank) times `down` (rank, d_in), two tensors without
// bias.
struct AdapterConfig {
  std::string down, up;
  int rank = 0;
};

// Consecutive rows of a projection that have their own factor.
struct RowScale {
  int rows;
  double factor;
};

// y = scale (W (input_scale x) + b). ssm/model/linear_weights.h applies the factors and the other fields to the weights
// when they are loaded.
struct LinearConfig {
  std::string name;
  int d_in = 0, d_out = 0;
  bool bias = true;
  double scale = 1, input_scale = 1;
  std::vector<RowScale> row_scales = {};  // multiply `scale`; empty: 1
  int first_row = 0, tensor_rows = 0;     // if the tensor holds more rows than these; tensor_rows 0: it does not
  int tensor_matrices = 1;                // the tensor holds this many matrices along a leading axis
  std::optional<AdapterConfig> adapter = std::nullopt;
  std::string tensor = "weight";  // suffix of the tensor's name; empty: no suffix
};

// y = x / sqrt(mean(x^2) + eps) * weight. With `centred` (LayerNorm), the mean of x is subtracted first and a bias is
// added.
struct RmsNormConfig {
  std::string name;
  int width = 0;
  float eps = 1e-5f;
  bool affine = true;
  bool centred = false;
};

enum class Activation { tanh, gelu, silu, glu, gelu_tanh, relu, relu2 };

// Pointwise. glu halves the width: a * sigmoid(b). With `gated`, the others do too: f(a) * b.
struct ActivationConfig {
  Activation kind = Activation::tanh;
  int width_in = 0, width_out = 0;
  bool gated = false;
};

// down(f(gate(x)) * up(x)), or without a gate down(f(up(x))).
struct MlpConfig {
  std::optional<LinearConfig> gate;
  LinearConfig up, down;
  Activation activation = Activation::silu;
};

// How the router's values become the weights of the chosen experts: softmax over all experts; softmax over the chosen
// ones; or sigmoid of each, where the experts with the largest sums of it and `correction` are chosen, optionally only
// from the best groups.
enum class Routing { softmax, softmax_of_chosen, sigmoid };

// sum over the top_k chosen experts of weight * expert(x), optionally between two projections, plus shared(x).
struct MoeConfig {
  int d_model = 0;
  LinearConfig router;
  Routing routing = Routing::softmax;
  int top_k = 1;
  std::string correction;             // name of a tensor; empty: none
  int groups = 1, groups_chosen = 1;  // of experts; a group is ranked by its two best experts
  bool normalised = false;            // divide the weights by their sum
  double weight_scale = 1;
  std::vector<MlpConfig> experts;
  std::optional<LinearConfig> latent_in, latent_out;
  std::optional<MlpConfig> shared;
};

// Attention over the last `window` frames, including the current one, with or without rotary positions. A head of
// queries uses the keys and values of KV head (head / (heads / kv_heads)). A causal convolution may come right after
// the projections.
struct AttentionConfig {
  std::string state_name;
  LinearConfig q, k, v, o;
  int heads = 0, kv_heads = 0, headdim = 0, window = 0;
  std::string conv;  // tensors `conv`.weight (q, k and v, 1, conv_taps) and .bias; only with conv_taps > 0
  int conv_taps = 0;
  double score_scale = 1;
  float soft_cap = 0;          // scores become soft_cap tanh(score / soft_cap); 0: unchanged
  std::string sinks;           // tensor (heads): an additional score per head, with value 0; empty: none
  std::string q_norm, k_norm;  // tensors (headdim): RMS norm of each head; empty: none
  float norm_eps = 1e-6f;
  std::vector<double> rope;  // radians per frame by which the pairs (i, i + size) of a head rotate; empty: no rotation
  double rope_scale = 1;     // scales the rotated values

  int conv_channels() const { return (heads + 2 * kv_heads) * headdim; }
};

// Reads rows from an earlier place in the chain: the input of this layer, of the previous layer, or of the first layer.
// They replace the chain's rows, are added to them, or are appended.
struct TapConfig {
  enum class From { layer, layer_before, network };
  enum class How { replace, add, append };
  From from = From::layer;
  How how = How::add;
  int width = 0;                                                                   // of the rows that are read
  int width_in = 0;                                                                // of the chain's own rows
  int width_out() const { return how == How::append ? width_in + width : width; }  // for add, both widths are equal
};

// y = (1 + scale) x + shift; scale = film[offset ..], shift = film[offset + width ..]
struct FilmConfig {
  int width = 0;
  int offset = 0;
};

// y = tanh(x) - tanh(x0), where x0 is the output of the preceding linear part (and of a film part between them) for an
// input of 0. So a network of such parts gives exactly 0 at rest. x and x0 must be computed by the same operations, so
// that they are bit-identical.
struct RestTanhConfig {
  int width = 0;
  std::string bias;  // name of the linear part's tensor
  std::optional<FilmConfig> film;
};

enum class Discretization { zoh, bilinear };

// Diagonal state-space filter bank, one independent bank per channel.
struct S4dConfig {
  std::string name, state_name;
  int channels = 0;
  int modes = 0;  // complex: conjugate pairs; real: real modes
  bool complex = true;
  Discretization discretization = Discretization::zoh;
  double step_scale = 1;  // own sample rate / sample rate: the duration of a frame, in frames of the own rate
};

struct Mamba1Config {
  std::string name, state_name;
  int d_model = 0, d_inner = 0, d_state = 0, d_conv = 4, dt_rank = 1;
  bool bias = false, conv_bias = true, x_proj_bias = false;
  std::optional<float> rms_eps;  // FalconMamba: RMS norm without weights on dt, B and C
  bool norm_weights = false;     // Jamba: the same with weights (dt_layernorm, b_layernorm, c_layernorm)
};

// The operations between the scan and the output projection of Mamba-2; z is the gate.
enum class GatedNorm { gate_then_norm, norm_then_gate, gate_alone };

struct Mamba2Config {
  std::string name, state_name;
  int d_model = 0, heads = 0, headdim = 0, d_state = 0, ngroups = 1, d_conv = 4;
  bool bias = false, conv_bias = true;
  float norm_eps = 1e-5f;
  int norm_group_size = 0;  // channels that share one mean square; d_inner: all channels
  double dt_min = 0, dt_max = std::numeric_limits<double>::infinity();  // time_step_limit: dt is clamped after softplus
  GatedNorm gated_norm = GatedNorm::gate_then_norm;
  std::optional<bool> out_bias;              // empty: as `bias`
  double input_scale = 1, output_scale = 1;  // factors of the part's input and output
  std::vector<double> part_scales;           // factors of z, x, B, C, dt after the input projection; empty: 1

  int d_inner() const { return heads * headdim; }
  int conv_channels() const { return d_inner() + 2 * ngroups * d_state; }
  LinearConfig in_proj() const;
  LinearConfig out_proj() const;
};

// How the projected value a becomes a decay rate. reciprocal: A = -(a >= 0 ? 1 + a : 1 / (1 - a)), as in the current
// mamba_ssm. softplus: A = -log(1 + e^a), as in its first version. Both are at most -a_floor.
enum class DecayRate { reciprocal, softplus };

// Trapezoidal rule; B and C with norm, bias and a data-dependent rotation; one input and output per head (SISO) or
// `rank` of them (MIMO).
struct Mamba3Config {
  std::string name, state_name;
  int d_model = 0, heads = 0, headdim = 0, d_state = 0, ngroups = 1;
  int angles = 0;  // pairs of states that rotate
  bool mimo = false;
  int rank = 1;
  bool outproj_norm = false;  // RMS norm of each head before the gate
  float a_floor = 1e-4f;
  DecayRate decay_rate = DecayRate::reciprocal;

  int d_inner() const { return heads * headdim; }
  int bc_width() const { return rank * ngroups * d_state; }
  int d_in_proj() const { return 2 * d_inner() + 2 * bc_width() + 3 * heads + angles; }
};

// A nonlinear recurrence, for the slow path: z = tanh(x + R c), c = c + sigmoid(gate(z)) (value(z) - c).
struct GatedConfig {
  std::string name, state_name;
  int d_hidden = 0, d_units = 0;

  LinearConfig recurrent() const { return {name + ".recurrent", d_units, d_hidden, false}; }
  LinearConfig gate() const { return {name + ".gate", d_hidden, d_units, true}; }
  LinearConfig value() const { return {name + ".value", d_hidden, d_units, true}; }
};

using PartConfig =
    std::variant<LinearConfig, RmsNormConfig, ActivationConfig, FilmConfig, RestTanhConfig, S4dConfig, Mamba1Config,
                 Mamba2Config, Mamba3Config, GatedConfig, AttentionConfig, MlpConfig, MoeConfig, TapConfig>;

// h = residual ? h + parts(h) : parts(h)
struct LayerConfig {
  bool residual = true;
  std::vector<PartConfig> parts;
};

// A network that runs once every hop_frames frames and computes the FiLM vector.
struct SlowPathConfig {
  int hop_frames = 64;
  int n_features = 0;
  bool controls = false;  // append the control values to the features
  LinearConfig features;  // d_input -> n_features
  LinearConfig in_proj;   // 2 n_features [+ controls] -> d_model
  std::vector<LayerConfig> layers;
  LinearConfig out_proj;  // d_model -> film_size
};

inline constexpr int kMaxControls = 256, kMaxControlHidden = 1024;

// Maps k' = 2 k - 1 of each control to the FiLM vector.
struct ControlNetConfig {
  std::optional<LinearConfig> hidden;  // control_count -> hidden, then tanh; empty: k'_i, then k'_i k'_j for i <= j
  LinearConfig film;                   // hidden values, or those products -> film_size
};

enum class InputKind { frames, token_ids };

// What to do if the signal has another sample rate than the model: rescale the model's steps, or run it at its own rate
// between resamplers.
enum class RateScaling { steps, resample };

const char* to_string(RateScaling scaling);

inline constexpr int kControlRampFrames = 1024;  // at the model's own sample rate

struct EmbeddingConfig {
  std::string name;  // tensor `name` + ".weight" (vocab, d_model)
  int vocab = 0;
  int padded_vocab = 0;  // state-spaces: the tensor may have this many rows instead
  double scale = 1;      // factor of the embedding
};

struct ModelConfig {
  std::string model_type;
  InputKind input_kind = InputKind::frames;
  int d_input = 0;  // channels of a frame; 1 for token ids
  int d_model = 0;
  int d_output = 0;           // channels of a frame; the vocabulary for token models
  double sample_rate_hz = 0;  // 0: not stated
  RateScaling rate_scaling = RateScaling::resample;
  int control_ramp_frames =
      kControlRampFrames;  // duration of the ramp of FiLM vector and output gain to a control's new value

  std::optional<EmbeddingConfig> embedding;
  std::optional<LinearConfig> in_proj;
  std::vector<LayerConfig> layers;
  std::optional<RmsNormConfig> norm_f;
  std::optional<LinearConfig> out_proj;  // output projection or language-model head; if tied, its name is the
                                         // embedding's
  std::optional<LinearConfig> direct;    // its output is added to the network's output

  int control_count = 0;           // knobs that the network reads, each in [0, 1]
  int film_size = 0;               // length of the FiLM vector, the sum of the outputs of the two below
  std::optional<int> output_film;  // where the values that are added to out_proj's weights (d_output, d_in) start in it
  std::optional<ControlNetConfig> control_net;
  std::optional<SlowPathConfig> slow_path;
};

// Parses the JSON text of a config; `source` names the file in errors. For a HuggingFace model, `input_kind` chooses
// between frames (embeddings in, final norm out) and token ids (embedding and head); by default the model takes token
// ids, as upstream does. Throws Error that names the field, what was found and what would be right. Ignored fields get
// a sentence each in `warnings`, if given. [any thread]
ModelConfig parse_config(const std::string& json, const std::string& source,
                         std::vector<std::string>* warnings = nullptr);

// Whether this is a config of transformers or state-spaces, whose tensor names may have other prefixes.
bool is_upstream_config(const std::string& json);

// The config key for the number of frames that attention may look back; --window sets it.
inline constexpr const char* kWindowKey = "stream_window";
inline constexpr int kMaxWindow = 1 << 20;

// The names of an upstream model's embeddings, and of its head if that has its own weights.
inline constexpr const char *kEmbeddingName = "backbone.embeddings", *kHeadName = "lm_head";

// Why the steps cannot be rescaled to any other rate: a part counts in frames, not in seconds. Empty if they can.
std::string steps_obstacle(const ModelConfig& config);
// Why they cannot be rescaled to this rate. Empty if they can.
std::string steps_obstacle(const ModelConfig& config, double sample_rate_hz);

// The same network with its steps rescaled from config.sample_rate_hz to another rate. Throws Error with the obstacle,
// if any; `source` names the file.
ModelConfig with_rescaled_steps(ModelConfig config, double sample_rate_hz, const std::string& source);

}  // namespace coil::ssm
