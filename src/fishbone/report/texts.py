"""What the page says about each stage: a title, two sentences, and the figure's caption."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """What the page says about one stage."""

    title: str
    explanation: str
    caption: str = ""


SEEDS = (
    "Faint lines are seeds, strong lines their mean, and bands its 95 % interval (cut off where it leaves the axes)."
)
TEXTS = {
    "train": Text(
        "Training",
        "A residual network is trained on each data set, once a seed. It is the dense network that pruning starts from "
        "and the one whose features judge generated images.",
        f"Accuracy by epoch. {SEEDS}",
    ),
    "prune": Text(
        "Pruning",
        "Each method zeroes weights of the same trained network step by step and adjusts the others, without training "
        "again. FLS chooses and compensates with a model of the inverse Fisher matrix, learnt if the study gives it "
        "steps, OBS inverts an estimate of its blocks, magnitude drops the smallest weights. Time and memory are what "
        "pruning adds to the process; the choice of the damping is not in the time. Methods called gradual train what "
        "is left after every step.",
        f"Test accuracy by sparsity, batch norm recalibrated. {SEEDS}",
    ),
    "federate": Text(
        "Federated learning",
        "HoVeFL averages a network over horizontal devices (H), which hold whole images, and vertical groups (V), in "
        "which each party holds a part of every image. FedAvg has horizontal devices alone, and the centralised "
        "reference has all images in one place.",
        f"Accuracy and loss on validation images by round. {SEEDS}",
    ),
    "gan": Text(
        "Federated split GAN",
        "FSL-GAN keeps images with their users: each user's discriminator is cut into parts that lie on several weak "
        "devices, and the server trains the generator from their feedback. The centralised reference trains the same "
        "networks in one place.",
        "Fréchet classifier distance (FCD, lower is better) to validation images by round. " + SEEDS,
    ),
    "export": Text(
        "Export",
        "Networks become ONNX files, which have to compute what PyTorch computes and to keep every pruned zero. Zeros "
        "make the compressed file smaller; they make a run faster only where the runtime skips them.",
    ),
    "bench": Text(
        "On devices",
        "All files take turns on each device, so that a speed-up is a ratio between neighbours in time, with its 95 % "
        "interval. A ratio inside the grey band is no difference: so much does the baseline differ from itself.",
        "Accuracy against time and against size. Bars are 95 % intervals, and larger markers are larger files.",
    ),
}
