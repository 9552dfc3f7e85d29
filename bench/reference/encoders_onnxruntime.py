"""encoders_onnxruntime.py - the encoders of encoders_torch.py in ONNX Runtime, float32.

    python encoders_onnxruntime.py --weights FILE --input X.npy --expect Y.npy [--threads N --repeats R]

PyTorch exports the network with constant shapes; all of the runtime's graph optimisations are on. Its CPU kernels have no
bfloat16.
"""
import os
import tempfile
import warnings

import encoders_torch
import rows

torch, onnxruntime, _ = rows.need("torch", "onnxruntime", "onnx")


def main():
    a, images = encoders_torch.arguments()
    warnings.simplefilter("ignore")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "encoder.onnx")
        network = encoders_torch.Module(encoders_torch.load(a.weights, images.shape[-1]))
        torch.onnx.export(network, (images,), path, input_names=["images"], dynamo=False, opset_version=20)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {"images": images.numpy()}
    encoders_torch.check_and_measure("ONNX Runtime " + onnxruntime.__version__, a, lambda: session.run(None, given)[0],
                                     images)


if __name__ == "__main__":
    main()
