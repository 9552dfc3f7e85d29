"""encoders_openvino.py - the encoders of encoders_torch.py in OpenVINO.

    python encoders_openvino.py --weights FILE --input X.npy --expect Y.npy [--threads N --repeats R --precision bf16]

OpenVINO converts the traced network with constant shapes. One stream takes all threads; they are not pinned to cores, for
others may run there.
"""
import warnings

import encoders_torch
import rows

torch, openvino = rows.need("torch", "openvino")


def main():
    a, images = encoders_torch.arguments()
    warnings.simplefilter("ignore")
    with torch.inference_mode():
        network = encoders_torch.Module(encoders_torch.load(a.weights, images.shape[-1]))
        model = openvino.convert_model(network, example_input=images, input=[list(images.shape)])
    compiled = openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": a.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if a.precision == "bf16" else "f32",
    })
    request, given = compiled.create_infer_request(), images.numpy()
    encoders_torch.check_and_measure("OpenVINO " + openvino.__version__.split("-")[0], a,
                                     lambda: request.infer([given], share_inputs=True)[0], images)


if __name__ == "__main__":
    main()
