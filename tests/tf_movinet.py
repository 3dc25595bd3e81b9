"""MoViNet-A0 written down a second time, in TensorFlow's own operations, for tests to compare with.

``python tests/tf_movinet.py BASE STREAM NUM_CLASSES`` makes two SavedModels with random weights, in the forms in which
TF-Hub publishes them: the base with the signature ``serving_default``, the stream with ``init_states`` and ``call``;
variables and states have the authors' names and axes (3-D kernels in the base, 2-D ones in the stream).
"""

import sys
import zlib

import torchvision  # noqa: F401  must be there before TensorFlow

import tensorflow as tf  # isort: skip

# channels out, then each layer as width:kernel over time x kernel over space; the first layer of a stage halves, but
# for the fourth stage's
STAGES = """8  24:1x5
32 80:3x3 80:3x3 80:3x3
56 184:5x3 112:3x3 184:3x3
56 184:5x3 184:3x3 184:3x3 184:3x3
104 384:5x3 280:1x5 280:1x5 344:1x5"""


def layers():
    """``(name, channels out, width, time, space, stride)`` of every block."""
    for stage, line in enumerate(STAGES.splitlines()):
        channels, *words = line.split()
        for place, word in enumerate(words):
            width, _, kernel = word.partition(":")
            time, space = map(int, kernel.split("x"))
            stride = 2 if place == 0 and stage != 3 else 1
            yield f"block{stage}_layer{place}", int(channels), int(width), time, space, stride


class MoViNet(tf.Module):
    """A network whose variables are made at its first call."""

    def __init__(self, stream, num_classes):
        super().__init__()
        self.stream, self.num_classes, self.values = stream, num_classes, {}
        self.act = self.hard_swish if stream else tf.nn.silu
        self.gate = (lambda x: tf.clip_by_value(0.2 * x + 0.5, 0, 1)) if stream else tf.sigmoid

    @staticmethod
    def hard_swish(x):
        return x * tf.nn.relu6(x + 3) / 6

    def variable(self, name, shape, low, high):
        if name not in self.values:
            seed = zlib.crc32(name.encode()) % 2**31
            self.values[name] = tf.Variable(tf.random.stateless_uniform(shape, (seed, 7), low, high), name=name)
        return self.values[name]

    def kernel(self, path, shape, fan_in):
        reach = (6 / fan_in) ** 0.5
        return self.variable(path, shape, -reach, reach)

    def norm(self, x, path):
        c = x.shape[-1:]
        gamma, var = (self.variable(f"{path}/{part}", c, 0.7, 1.4) for part in ("gamma", "moving_variance"))
        beta, mean = (self.variable(f"{path}/{part}", c, -0.2, 0.2) for part in ("beta", "moving_mean"))
        return (x - mean) / tf.sqrt(var + 1e-3) * gamma + beta

    def frames(self, function, x):
        """Apply what takes (N*T, H, W, C) to (N, T, H, W, C)."""
        n, t = tf.shape(x)[0], tf.shape(x)[1]
        y = function(tf.reshape(x, tf.concat([[n * t], tf.shape(x)[2:]], 0)))
        y = tf.reshape(y, tf.concat([[n, t], tf.shape(y)[1:]], 0))
        return tf.ensure_shape(y, [None, None, None, None, y.shape[-1]])

    def point(self, x, path, channels, deep="", bias=False, size=1, stride=1):
        """An ordinary convolution over space."""
        c = x.shape[-1]
        if self.stream:
            w = self.kernel(f"{path}/conv2d/conv2d{deep}/kernel", (size, size, c, channels), size * size * c)
        else:
            w = self.kernel(f"{path}/conv3d/kernel", (1, size, size, c, channels), size * size * c)[0]
        y = self.frames(lambda frames: tf.nn.conv2d(frames, w, stride, "SAME"), x)
        y = tf.ensure_shape(y, [None, None, None, None, channels])
        if bias:
            name = f"{path}/conv2d/conv2d{deep}/bias" if self.stream else f"{path}/conv3d/bias"
            return y + self.variable(name, (channels,), -0.2, 0.2)
        return y

    def unit(self, x, path, channels, deep="", size=1, stride=1):
        return self.norm(self.point(x, path, channels, deep, size=size, stride=stride), f"{path}/bn")

    def over_space(self, x, w, stride):
        """Each channel on its own; ``w`` (H, W, C, 1)."""
        return self.frames(lambda frames: tf.nn.depthwise_conv2d(frames, w, [1, stride, stride, 1], "SAME"), x)

    def feature(self, x, path, time, space, stride, states):
        c = x.shape[-1]
        if not self.stream:  # a filter over time and space is a sum of filters over space, one a moment
            w = self.kernel(f"{path}/feature/conv3d/kernel", (time, space, space, 1, c), time * space * space)
            x = tf.pad(x, [[0, 0], [time // 2] * 2, [0, 0], [0, 0], [0, 0]])
            t = tf.shape(x)[1] - time + 1
            moments = [self.over_space(x[:, i : i + t], tf.transpose(w[i], [0, 1, 3, 2]), stride) for i in range(time)]
            return self.act(self.norm(tf.add_n(moments), f"{path}/feature/bn"))
        name = f"{path}/feature/conv2d/depthwise_conv2d/depthwise_kernel"
        x = self.over_space(x, self.kernel(name, (space, space, c, 1), space * space), stride)
        x = self.act(self.norm(x, f"{path}/feature/bn"))
        if time == 1:
            return x
        key = f"state_{path.partition('/')[0]}_stream_buffer"
        t, x = tf.shape(x)[1], tf.concat([states[key], x], 1)
        states[key] = x[:, t:]
        name = f"{path}/feature/conv2d_temporal/depthwise_conv2d_1/depthwise_kernel"
        w = self.kernel(name, (time, 1, c, 1), time)
        x = tf.add_n([x[:, i : i + t] * w[i, 0, :, 0] for i in range(time)])
        return self.act(self.norm(x, f"{path}/feature/bn_temporal"))

    def average_so_far(self, x, prefix, states):
        """The mean over this frame and all before it, for each frame of x (N, T, 1, 1, C)."""
        sums = states[f"{prefix}_pool_buffer"] + tf.cumsum(x, 1)
        count = states[f"{prefix}_pool_frame_count"]
        states[f"{prefix}_pool_buffer"] = sums[:, -1:]
        states[f"{prefix}_pool_frame_count"] = count + tf.shape(x)[1]
        counts = tf.cast(count + tf.range(1, tf.shape(x)[1] + 1), tf.float32)
        return sums / counts[None, :, None, None, None]

    def squeeze(self, x, path, states):
        c = x.shape[-1]
        if self.stream:
            here = tf.reduce_mean(x, (2, 3), keepdims=True)
            so_far = self.average_so_far(here, f"state_{path.partition('/')[0]}", states)
            mean, hidden = tf.concat([so_far, here], -1), c // 2
        else:
            mean, hidden = tf.reduce_mean(x, (1, 2, 3), keepdims=True), c // 4
        hidden = max(8, (hidden + 4) // 8 * 8)
        hidden = self.act(self.point(mean, f"{path}/se/se_reduce", hidden, "_1", bias=True))
        return x * self.gate(self.point(hidden, f"{path}/se/se_expand", c, "_2", bias=True))

    def block(self, x, name, channels, width, time, space, stride, states):
        path = f"{name}/bneck"
        y = self.act(self.unit(x, f"{path}/expansion", width))
        y = self.squeeze(self.feature(y, path, time, space, stride, states), path, states)
        y = self.unit(y, f"{path}/projection", channels, "_3")
        if stride > 1 or x.shape[-1] != channels:
            if stride > 1:
                x = self.frames(lambda frames: tf.nn.avg_pool2d(frames, 3, 2, "SAME"), x)
            x = self.unit(x, f"{path}/skip/skip_project", channels, "_4")
        return self.variable(f"{name}/scale", (), 0.3, 0.9) * y + x

    def __call__(self, image, states):
        """Logits (N, K), and the states after them; the base has none."""
        states = dict(states)
        x = self.act(self.unit(image, "stem/stem", 8, size=3, stride=2))
        for name, *form in layers():
            x = self.block(x, name, *form, states)
        x = self.act(self.unit(x, "head/project", 480))
        if self.stream:
            x = self.average_so_far(tf.reduce_mean(x, (2, 3), keepdims=True), "state_head", states)[:, -1:]
        else:
            x = tf.reduce_mean(x, (1, 2, 3), keepdims=True)
        x = tf.nn.silu(self.point(x, "classifier_head/head", 2048, bias=True))
        x = self.point(x, "classifier_head/classifier", self.num_classes, bias=True)
        return x[:, 0, 0, 0], states

    def init_states(self, input_shape):
        """Zeros of the sizes that a video of this shape needs."""
        n, _, h, w, _ = tf.unstack(input_shape)
        h, w, states = (h + 1) // 2, (w + 1) // 2, {}
        for name, _, width, time, _, stride in layers():
            if stride > 1:
                h, w = (h + 1) // 2, (w + 1) // 2
            if time > 1:
                states[f"state_{name}_stream_buffer"] = tf.zeros(tf.stack([n, time - 1, h, w, width]))
            states[f"state_{name}_pool_buffer"] = tf.zeros(tf.stack([n, 1, 1, 1, width]))
            states[f"state_{name}_pool_frame_count"] = tf.zeros((1,), tf.int32)
        states["state_head_pool_buffer"] = tf.zeros(tf.stack([n, 1, 1, 1, 480]))
        states["state_head_pool_frame_count"] = tf.zeros((1,), tf.int32)
        return states


IMAGE = tf.TensorSpec((None, None, None, None, 3), tf.float32, "image")


def save_base(folder, num_classes):
    net = MoViNet(False, num_classes)
    net(tf.zeros((1, 1, 32, 32, 3)), {})
    function = tf.function(lambda image: {"classifier_head": net(image, {})[0]}, input_signature=[IMAGE])
    tf.saved_model.save(net, folder, {"serving_default": function})


def save_stream(folder, num_classes):
    net = MoViNet(True, num_classes)
    states = net.init_states(tf.constant((1, 1, 32, 32, 3)))
    net(tf.zeros((1, 1, 32, 32, 3)), states)

    def predict(inputs):
        states = dict(inputs)
        logits, states = net(states.pop("image"), states)
        return {**states, "logits": logits}

    specs = {"image": IMAGE}
    for name, value in states.items():
        shape = value.shape if "count" in name else (None, value.shape[1], None, None, value.shape[4])
        specs[name] = tf.TensorSpec(shape, value.dtype, name)
    first = tf.function(net.init_states).get_concrete_function(tf.TensorSpec((5,), tf.int32))
    call = tf.function(predict).get_concrete_function(specs)
    tf.saved_model.save(net, folder, {"call": call, "init_states": first})


def main(base, stream, num_classes):
    save_base(base, int(num_classes))
    save_stream(stream, int(num_classes))


if __name__ == "__main__":
    main(*sys.argv[1:])
