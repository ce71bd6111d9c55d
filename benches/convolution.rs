//! Convolutions with fixed weights, one core: our kernels beside a matrix of columns and the `gemm` crate. See
//! benches/README.md.

use autobot_onnx::internals::kernels::chwn::Chwn;
use autobot_onnx::internals::kernels::conv::{self, Geometry};
use autobot_onnx::internals::kernels::direct::{Direct, Start};
use autobot_onnx::internals::kernels::simd::scale;
use autobot_onnx::internals::kernels::winograd::Winograd;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Shapes of the networks that people prune: input channels, output channels, height and width, kernel, stride, images.
const SHAPES: [[usize; 6]; 11] = [
    [16, 16, 32, 3, 1, 16],
    [16, 32, 32, 3, 2, 16],
    [32, 32, 16, 3, 1, 16],
    [64, 64, 8, 3, 1, 16],
    [256, 256, 8, 3, 1, 16],
    [512, 512, 2, 3, 1, 16],
    [192, 192, 8, 1, 1, 16],
    [64, 192, 56, 3, 1, 4],
    [256, 64, 56, 1, 1, 4],
    [1024, 256, 14, 1, 1, 4],
    [3, 64, 224, 7, 2, 4],
];

fn geometry([cin, cout, size, kernel, stride, batch]: [usize; 6]) -> Geometry {
    let pad = kernel / 2;
    let out = (size + 2 * pad - kernel) / stride + 1;
    Geometry {
        batch,
        cin,
        cout,
        group: 1,
        input: [1, size, size],
        output: [1, out, out],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        dilation: [1; 3],
        pad: [0, pad as isize, pad as isize],
    }
}

fn convolution(c: &mut Criterion) {
    for shape in SHAPES {
        let g = geometry(shape);
        let [cin, cout, size, kernel, stride, batch] = shape;
        let numbers = |n: usize| (0..n).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect::<Vec<f32>>();
        let x = numbers(batch * cin * size * size);
        let w = numbers(cout * cin * kernel * kernel);
        let mut y = vec![0.0; batch * cout * g.pixels_out()];
        let name = format!("{cin}-{cout} {size}x{size} {kernel}x{kernel}/{stride} batch {batch}");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements((2 * batch * cout * g.pixels_out() * cin * g.taps()) as u64));
        // What a step computes: y = conv(λ ⊙ x). A kernel that copies rows anyway scales them on the way.
        let lambda = numbers(cin);
        let mut gated = vec![0.0; x.len()];
        let gate_all = |gated: &mut [f32]| {
            let channels = gated.chunks_exact_mut(size * size).zip(black_box(&x).chunks_exact(size * size));
            channels.enumerate().for_each(|(k, (to, from))| scale(to, lambda[k % cin], from, false));
        };
        let row = |n: usize, c: usize, r: usize, out: &mut [f32]| {
            let from = &black_box(&x)[(n * cin + c) * size * size + r * out.len()..][..out.len()];
            scale(out, lambda[c], from, false);
        };
        group.bench_function("gemm", |b| {
            b.iter(|| {
                gate_all(&mut gated);
                conv::forward(&g, &gated, &w, None, &mut y);
            });
        });
        let start = Start::Bias(&[]);
        if let Some(direct) = Direct::new(&g, &w) {
            let run = |y: &mut [f32]| direct.run(row, start, false, y);
            group.bench_function("direct", |b| b.iter(|| run(&mut y)));
            let fast = Winograd::new(&g, &w);
            if let Some(fast) = &fast {
                let run = |y: &mut [f32]| fast.run(row, &[], false, y);
                group.bench_function("winograd", |b| b.iter(|| run(&mut y)));
            }
            let small = Chwn::new(&g, &w);
            if let Some(small) = &small {
                let run = |y: &mut [f32]| small.run(row, &[], false, y);
                group.bench_function("chwn", |b| b.iter(|| run(&mut y)));
            }
            if let Some(back) = Direct::transposed(&g, &w) {
                let (dy, mut dx) = (numbers(y.len()), vec![0.0; x.len()]);
                let run = |dx: &mut [f32]| back.run(back.rows(black_box(&dy)), start, false, dx);
                group.bench_function("direct back", |b| b.iter(|| run(&mut dx)));
                if let Some(fast) = &fast {
                    let run = |dx: &mut [f32]| fast.run_back(back.rows(black_box(&dy)), false, dx);
                    group.bench_function("winograd back", |b| b.iter(|| run(&mut dx)));
                }
                if let Some(small) = &small {
                    let run = |dx: &mut [f32]| small.run_back(back.rows(black_box(&dy)), false, dx);
                    group.bench_function("chwn back", |b| b.iter(|| run(&mut dx)));
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1));
    targets = convolution
}
criterion_main!(benches);
