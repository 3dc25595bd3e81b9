"""I3D written down a second time, in TensorFlow's own operations, for tests to compare with.

``python tests/tf_i3d.py SAVED_MODEL CHECKPOINT`` makes both with the same random weights, in the forms in which
DeepMind publishes them: a TF-Hub module (TensorFlow 1, no tags, a second graph for training) and a checkpoint.
"""

import os
import sys
import zlib

import torchvision  # noqa: F401  must be there before TensorFlow

import tensorflow as tf  # isort: skip

v1 = tf.compat.v1
POOLS = {"Mixed_3b": (1, 3, 3), "Mixed_4b": (3, 3, 3), "Mixed_5b": (2, 2, 2)}
BLOCKS = """Mixed_3b 64 96 128 16 32 32|Mixed_3c 128 128 192 32 96 64|Mixed_4b 192 96 208 16 48 64
Mixed_4c 160 112 224 24 64 64|Mixed_4d 128 128 256 24 64 64|Mixed_4e 112 144 288 32 64 64
Mixed_4f 256 160 320 32 128 128|Mixed_5b 256 160 320 32 128 128|Mixed_5c 384 192 384 48 128 128"""


def variable(name, shape, low, high):
    seed = zlib.crc32(name.encode()) % 2**31  # values come from an operation: as constants they would fill the graph
    return v1.get_variable(name, shape, initializer=v1.random_uniform_initializer(low, high, seed))


def unit(x, name, channels, size=1, stride=1):
    with v1.variable_scope(name):
        c = x.shape[-1]
        reach = (6 / (size**3 * c)) ** 0.5
        w = variable("conv_3d/w", (size, size, size, c, channels), -reach, reach)
        x = tf.nn.conv3d(x, w, [1, stride, stride, stride, 1], "SAME")
        mean, beta = (variable(f"batch_norm/{part}", (channels,), -0.2, 0.2) for part in ("moving_mean", "beta"))
        var = variable("batch_norm/moving_variance", (channels,), 0.5, 1.5)
        return tf.nn.relu((x - mean) / tf.sqrt(var + 1e-3) + beta)


def pool(x, size, stride):
    return tf.nn.max_pool3d(x, [1, *size, 1], [1, *stride, 1], "SAME")


def block(x, name, c0, c1, c2, c3, c4, c5):
    with v1.variable_scope(name):
        second = "Conv3d_0a_3x3" if name == "Mixed_5b" else "Conv3d_0b_3x3"  # as in the authors' checkpoints
        zero = unit(x, "Branch_0/Conv3d_0a_1x1", c0)
        one = unit(unit(x, "Branch_1/Conv3d_0a_1x1", c1), "Branch_1/Conv3d_0b_3x3", c2, 3)
        two = unit(unit(x, "Branch_2/Conv3d_0a_1x1", c3), f"Branch_2/{second}", c4, 3)
        three = unit(pool(x, (3, 3, 3), (1, 1, 1)), "Branch_3/Conv3d_0b_1x1", c5)
        return tf.concat([zero, one, two, three], -1)


def i3d(x, num_classes):
    x = pool(unit(x, "Conv3d_1a_7x7", 64, 7, 2), (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1", 64), "Conv3d_2c_3x3", 192, 3)
    for line in BLOCKS.replace("\n", "|").split("|"):
        name, *channels = line.split()
        if name in POOLS:
            x = pool(x, POOLS[name], (POOLS[name][0] if POOLS[name][0] < 3 else 2, 2, 2))
        x = block(x, name, *map(int, channels))
    x = tf.nn.avg_pool3d(x, [1, 2, 7, 7, 1], [1, 1, 1, 1, 1], "VALID")
    with v1.variable_scope("Logits/Conv3d_0c_1x1"):
        w = variable("conv_3d/w", (1, 1, 1, 1024, num_classes), -0.1, 0.1)
        x = tf.nn.conv3d(x, w, [1] * 5, "SAME") + variable("conv_3d/b", (num_classes,), -0.2, 0.2)
    return tf.reduce_mean(tf.squeeze(x, [2, 3]), 1)


def main(folder, prefix):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, None, 224, 224, 3), "rgb_input")
        with v1.variable_scope("RGB/inception_i3d"):
            logits = i3d(x, 400)
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"rgb_input": x}, {"default": logits})
        builder = v1.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.add_meta_graph(["train"], {"default": signature})
        builder.save()
        open(os.path.join(folder, "tfhub_module.pb"), "wb").close()
        v1.train.Saver().save(session, prefix, write_meta_graph=False)
        print(len(v1.global_variables()), "variables")


if __name__ == "__main__":
    main(*sys.argv[1:])
