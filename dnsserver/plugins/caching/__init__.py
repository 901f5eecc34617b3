"""What plugin `cache` is made of: `options`, `verdict` (what a reply is), `entry`, `store`, `refresh`, `counts`."""
